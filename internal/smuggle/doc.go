// Package smuggle makes requests that two programs in a row may take apart
// differently, and says what is wrong with what came out behind them. It sends
// nothing itself.
package smuggle

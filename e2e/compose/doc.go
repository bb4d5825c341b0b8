// Package compose reads docs/deploy/compose.yaml with the library that docker
// compose reads it with.
package compose

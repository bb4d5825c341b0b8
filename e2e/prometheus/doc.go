// Package prometheus has a real Prometheus scrape the built gate under traffic of
// every kind, and evaluates there what operators are given: each panel of the
// dashboard, each rule. It draws the picture of the README from such a run. It is
// a module of its own, as all that needs programs which Go alone does not bring.
package prometheus

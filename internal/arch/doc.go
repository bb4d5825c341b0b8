// Package arch holds the shape of the program in tests: which package may
// import which, where a third-party module may enter, how long a package and a
// function may grow, and the habits that a compiler does not ask for.
//
// It has no code of its own to import. The tables are in law_test.go, the rules
// in rules_test.go; every rule is shown to find what it forbids on a small tree
// in testdata. A rule that stands in the way is changed there, in the open, with
// its reason beside it.
package arch

// Package tests holds the tests of the charts. It is a module of its own, so that
// Helm and Kubernetes are not in the product's go.mod.
package tests

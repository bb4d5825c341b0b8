// Package sidecar holds the deliveries of the gate beside an application to one
// golden container. It has tests only.
package sidecar

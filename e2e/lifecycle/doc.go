// Package lifecycle starts, reloads, starves, floods and stops whole gates, as
// operating systems and clusters do. It is a module of its own because it takes
// minutes, and wants root for the limits that only a cgroup sets.
package lifecycle

package main

import (
	"github.com/KimMachineGun/automemlimit/memlimit"

	"github.com/wicketgate/wicketgate/internal/headroom"
)

// boundMemory makes the collector work harder as the process nears the limit
// of its cgroup, instead of being killed there. GOMEMLIMIT in the environment
// goes first. A tenth is left for what the collector does not see: the binary,
// stacks of the system, buffers of the kernel that count for the cgroup.
// It returns the limit in octets; an error says that none can be told.
func boundMemory() (int64, error) { return memlimit.Set(memlimit.WithRatio(0.9)) }

// paceCollector gives the collector of garbage a headroom, until stop is called.
// GOGC in the environment goes first.
func (a *app) paceCollector() (stop func()) {
	if own, found := a.env("GOGC"); found && own != "" {
		return func() {}
	}
	return headroom.Start()
}

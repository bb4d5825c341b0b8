package main

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/zap"
)

// boundMemory makes the collector work harder as the process nears the limit
// of its cgroup, instead of being killed there. GOMEMLIMIT in the environment
// goes first. A tenth is left for what the collector does not see: the binary,
// stacks of the system, buffers of the kernel that count for the cgroup.
func boundMemory(log *zap.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(0.9))
	if err != nil {
		log.Warn("the cgroup's memory limit cannot be told", zap.Error(err))
		return
	}
	log.Info("memory", zap.Int64("limit_octets", limit))
}

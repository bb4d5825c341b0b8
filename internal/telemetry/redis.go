package telemetry

import "go.uber.org/zap"

// ReplayAlone counts a proof that was taken on this process's memory alone,
// since the shared one could not be asked: replay.NewSharedOrLocal.
func (t *Telemetry) ReplayAlone(error) {
	t.metrics.sharedErrors.Inc()
	t.metrics.localProofs.Inc()
}

// RedisError says why a Redis is of no use, or what makes it unsafe:
// redis.Options.OnError. name is how the configuration calls it.
func (t *Telemetry) RedisError(name string, err error) {
	t.log.Warn("redis", zap.String("redis", name), zap.String("error", clip(err.Error())))
}

// RedisState notes how a Redis stands: redis.Options.OnState.
func (t *Telemetry) RedisState(name string, connected, unsafe bool) {
	t.metrics.redisUp.WithLabelValues(name).Set(truth(connected))
	t.metrics.redisUnsafe.WithLabelValues(name).Set(truth(unsafe))
	if connected {
		t.log.Info("redis is connected", zap.String("redis", name))
	}
}

func truth(fact bool) float64 {
	if fact {
		return 1
	}
	return 0
}

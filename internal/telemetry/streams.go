package telemetry

import (
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/wicketgate/wicketgate/proxy/streams"
)

func (m *metrics) makeStreams(f promauto.Factory) {
	m.streams = f.NewGaugeVec(gauge("streams", "Streams under way."), []string{"kind"})
	m.streamsEnded = f.NewCounterVec(counter("streams_ended_total", "Streams that the gate ended, by why it did."), []string{"ending", "kind"})
	for _, k := range [...]streams.Kind{streams.WebSocket, streams.SSE, streams.GRPC} {
		m.streams.WithLabelValues(k.String())
		for _, e := range [...]streams.Ending{streams.Expired, streams.Revoked, streams.Drain} {
			m.streamsEnded.WithLabelValues(e.String(), k.String())
		}
	}
	m.streamsEnded.WithLabelValues(streams.Silent.String(), streams.WebSocket.String())
}

// StreamBegan counts a stream: streams.Hooks.Began.
func (t *Telemetry) StreamBegan(k streams.Kind) {
	t.metrics.streams.WithLabelValues(k.String()).Inc()
}

// StreamEnded counts the end of one, if the gate ended it: streams.Hooks.Ended.
func (t *Telemetry) StreamEnded(k streams.Kind, e streams.Ending) {
	t.metrics.streams.WithLabelValues(k.String()).Dec()
	if e != streams.ByPeer {
		t.metrics.streamsEnded.WithLabelValues(e.String(), k.String()).Inc()
	}
}

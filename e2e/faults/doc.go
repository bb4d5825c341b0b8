// Package faults runs the built gate in front of upstreams that refuse, hang,
// reset, crawl, restart and move, mostly behind toxiproxy. It is a module of its
// own so that the product's has no word of toxiproxy.
package faults

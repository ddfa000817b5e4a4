package main

import (
	"errors"
	"sync/atomic"

	"chronik/cluster"
)

// health is what /healthz and /readyz ask.
type health struct {
	node  atomic.Pointer[cluster.Node]
	ready atomic.Bool
}

// Healthy is nil unless storage has failed.
func (h *health) Healthy() error {
	if n := h.node.Load(); n != nil {
		return n.Err()
	}
	return nil
}

// Ready is nil while requests are served.
func (h *health) Ready() error {
	if err := h.Healthy(); err != nil {
		return err
	}
	if !h.ready.Load() {
		return errors.New("starting or stopping")
	}
	return nil
}

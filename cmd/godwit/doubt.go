package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// watchNetwork has every account look after its connections when the network
// of this machine changes: who listens on one that died hears nothing, and
// what could not be reached may be there now.
func (d *daemon) watchNetwork(ctx context.Context) {
	err := d.app.network(ctx, func() {
		d.log.Info("the network has changed")
		for _, t := range d.duties() {
			t.worker.NetworkChanged()
		}
	})
	if err != nil {
		d.log.Info("changes of the network are not noticed: a connection that died is, within a minute or so", "error", err)
	}
}

// watchStops has every account look after its connections when the daemon was
// stopped and goes on: servers, and what lies in between, give up those that
// do not answer. That the whole machine slept, workers see by their clocks.
func (d *daemon) watchStops(ctx context.Context) {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	for {
		select {
		case <-ctx.Done():
			return
		case <-goesOn:
		}
		d.log.Info("the daemon was stopped, and goes on")
		for _, t := range d.duties() {
			t.worker.Doubt()
		}
	}
}

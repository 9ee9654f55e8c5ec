package worker

import "time"

// wake makes a new beginning after a sleep: connections may be dead without
// knowing it, and a network that was away may be back.
func (w *Worker) wake() {
	w.mu.Lock()
	if w.endRun != nil {
		w.endRun(errWoke)
	}
	if !w.retryAt.IsZero() && ofNetwork(w.status.Err) {
		w.retryAt, w.blocked = time.Now(), false
	}
	for _, x := range w.watchers {
		x.renew()
	}
	w.mu.Unlock()
	w.Trigger(ByWake)
}

// Doubt has whatever listens to the server find out at once whether its
// connection is alive: the process was stopped for a while, or another
// connection turned out to be dead. It never blocks.
func (w *Worker) Doubt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.watchers {
		x.suspect()
	}
}

// NetworkChanged is Doubt where addresses or routes of this machine have
// changed: what failed because of the network is tried again at once, and a
// run that nothing else is known to be alive beside begins anew. It never
// blocks.
func (w *Worker) NetworkChanged() {
	w.mu.Lock()
	up := true
	for _, x := range w.watchers {
		up = x.reconnect() && up
	}
	if !w.retryAt.IsZero() && ofNetwork(w.status.Err) {
		w.retryAt = time.Now()
	}
	w.mu.Unlock()
	if !up {
		w.restart()
	}
	w.ring()
}

// restart has the run under way, if any, begun anew, unless a person waits for it.
func (w *Worker) restart() {
	w.mu.Lock()
	running := w.endRun != nil && w.status.Why != ByRequest
	if running {
		w.endRun(errWoke)
	}
	w.mu.Unlock()
	if running {
		w.Trigger(ByWake)
	}
}

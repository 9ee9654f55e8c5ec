// Package network tells when the network of this machine has changed:
// addresses or default routes came or went, as when it joins another wireless
// network, a cable is plugged in, or a VPN begins. Connections that were made
// before may be dead without knowing it, and what could not be reached may be
// there now.
//
// It only tells that something changed. What comes of it, its callers find out.
package network

// Package ext stands in for a nested module of Traefik that is not published: the types that its
// static configuration embeds, empty in the open source build as well.
package ext

// HTTP has no extensions.
type HTTP struct{}

// Router has no extensions.
type Router struct{}

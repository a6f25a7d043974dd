// Package publication decides what happens next to one domain.
//
// Decide is a pure function of what has been promised (the publication's spec), what was observed,
// and the time. It returns the promise as it should be from now on, and what the caller must do or
// find out before deciding again. It reads no clock, no cluster and no network, so that every rule
// of the state machine can be tested, and simulated through months, without any of them:
//
//	none -> held -> serving -> announced -> in force -> … -> retiring -> removing -> none
//
// The order is the product: an instance is recorded before anything serves it, every server serves
// it before DNS announces its id, and nothing is taken away that a sender's cache still needs.
package publication

// Package crd tests what the API server admits: one accepted and one refused example for every
// rule of both kinds, in testdata.
package crd

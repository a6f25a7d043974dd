//go:build mutants

package controllers

import "testing"

func TestEveryMutantIsCaught(t *testing.T) {
	shardSuite().Hunt(t)
}

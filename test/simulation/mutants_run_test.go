//go:build mutants

package simulation

import "testing"

func TestEveryMutantIsCaught(t *testing.T) {
	suite().Hunt(t)
}

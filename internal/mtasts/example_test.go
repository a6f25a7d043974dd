package mtasts_test

import (
	"fmt"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

func Example() {
	policy := mtasts.Policy{
		Mode:          mtasts.ModeTesting,
		MX:            []string{"mx1.example.com", "*.mail.example.net"},
		MaxAgeSeconds: 604800,
	}
	now := time.Date(2026, time.January, 2, 15, 4, 5, 0, time.UTC)
	id, _ := mtasts.MintID(now, "", policy.String())

	fmt.Println(mtasts.PolicyURL("example.com"))
	fmt.Print(policy)
	fmt.Println(mtasts.RecordName("example.com"), mtasts.Record{ID: string(id)})
	// Output:
	// https://mta-sts.example.com/.well-known/mta-sts.txt
	// version: STSv1
	// mode: testing
	// mx: *.mail.example.net
	// mx: mx1.example.com
	// max_age: 604800
	// _mta-sts.example.com v=STSv1; id=20260102150405e6c9c302;
}

func ExampleParsePolicy() {
	_, err := mtasts.ParsePolicy([]byte("version: STSv1\nmode: Enforce\n"))
	fmt.Println(err)
	// Output: line 2: mode: "Enforce" is not enforce, testing or none
}

func ExampleMatchMX() {
	fmt.Println(mtasts.MatchMX("*.example.com", "mail.example.com"))
	fmt.Println(mtasts.MatchMX("*.example.com", "a.mail.example.com"))
	// Output:
	// true
	// false
}

func ExampleMintID() {
	last := mtasts.ID("20260102150405deadbeef")
	yesterday := last.Time().AddDate(0, 0, -1) // a clock set back
	fmt.Println(mtasts.MintID(yesterday, last, "body"))
	// Output: 20260102150406230d8358 true
}

func ExampleValidatePattern() {
	fmt.Println(mtasts.ValidatePattern("MX1.example.com"))
	// Output: "MX1.example.com": write it in lower case: "mx1.example.com"
}

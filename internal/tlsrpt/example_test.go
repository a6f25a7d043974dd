package tlsrpt_test

import (
	"fmt"

	"github.com/mta-sts-operator/mta-sts-operator/internal/tlsrpt"
)

func Example() {
	record := tlsrpt.Record{RUA: []string{"mailto:tls-reports@example.com", "https://reports.example.com/tls"}}
	fmt.Println(record.Validate())
	fmt.Println(tlsrpt.RecordName("example.com"), record)
	// Output:
	// <nil>
	// _smtp._tls.example.com v=TLSRPTv1; rua=mailto:tls-reports@example.com,https://reports.example.com/tls
}

func ExampleParse() {
	_, err := tlsrpt.Parse("v=TSLRPTv1; rua=mailto:tls-reports@example.com")
	fmt.Println(err)
	// Output: reading TLS-RPT record "v=TSLRPTv1; rua=mailto:tls-reports@example.com": does not begin with v=TLSRPTv1;
}

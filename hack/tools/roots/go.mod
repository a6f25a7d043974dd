module github.com/mta-sts-operator/mta-sts-operator/hack/tools/roots

go 1.26.0

tool github.com/mta-sts-operator/mta-sts-operator/hack/tools/roots

require golang.org/x/crypto/x509roots/fallback v0.0.0-20261030153154-30a33513ff6d

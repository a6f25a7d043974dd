// Package config is the operator's configuration file: what applies to all policies of a cluster
// and is nobody's but the administrator's to say.
//
// The file is strict. A field that does not exist, or a value that cannot work, stops the operator
// at its start with a message that says what to write instead, rather than being passed over until
// some domain's mail is lost. Where a policy may decide for itself, its own field wins.
package config

// Package manifest reads and writes MTASTSPolicy manifests away from any cluster.
//
// [Schema] judges an object as the API server would, by the very CustomResourceDefinition
// that is installed there, rules and messages included. [Read] takes manifests of
// people and [Document.Print] shows what would be published for them; [Import] makes
// a manifest of what is published for a domain today. They share a room because
// what the one writes must pass where the other reads.
package manifest

// Package limits runs the programs of the image in control groups with the memory and CPU that the chart gives
// them, and tries to make them need more: nothing may be killed, another namespace's edit must reach DNS meanwhile,
// and the memory must come back.
//
// `make test-limits` runs it: on Linux, as root, with a control group that can be written to.
package limits

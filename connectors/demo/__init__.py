# SPDX-License-Identifier: Apache-2.0
"""The story of one release, told by doing it: real processes, real sockets, real keys, an invented person.

`story` is the order of events and `release` its middle, on the `stage` that asks each agency through its own API;
`attacks` and `proof` do what a doubter would do, `telling` prints. The data
in `export/` are invented and marked DEMO.
"""

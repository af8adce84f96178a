# SPDX-License-Identifier: Apache-2.0
"""How an agency's installation comes into being: from a code on paper to a connector that may start (ENR).

`visit` reaches the hub before there is a device, `pins` checks it against what the code pinned, `application`
makes the keys and the key request, `publication` what the new agency signs once the authority has signed.
"""

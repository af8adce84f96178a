# SPDX-License-Identifier: Apache-2.0
"""A hub and three invented agencies on one machine, as real processes, for trying things out.

Everything is done as in earnest: keys are made, agencies enrol with a code and compared words, connectors
and hub speak over sockets. Only the passphrases lie in files beside the keys, and everything is marked DEMO.
"""

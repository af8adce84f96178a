# SPDX-License-Identifier: Apache-2.0
"""A jurisdiction's authority: the people who vouch for agencies.

It is a folder and a few commands, no server. `office` is the folder: keys, the two first statements of the
directory log, codes that are out, approvals half done. `invitation` makes enrolment codes, `approval`
checks what came back under one and signs it, with as many different approvers as the authority demands.
"""

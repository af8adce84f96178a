# SPDX-License-Identifier: Apache-2.0
"""The referral and its answers, kinds 7 and 8: one kind for each event of the referral's table.

What the table's rows need stands in these models as required fields; words (a reason in a sentence, a question, a
report) stand in sections. `text` in the table is such a section.
"""

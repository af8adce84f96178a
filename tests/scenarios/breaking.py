# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with one file of an agency's export."""


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def in_another_encoding(data: bytes) -> bytes:
    return data.decode().replace("Danilo", "Đanilo").encode("utf-16")


def of_another_type(_: bytes) -> bytes:
    return b'"only a text"'


def without_a_name(data: bytes) -> bytes:
    return data.replace(b'"familyName"', b'"familyNme"')

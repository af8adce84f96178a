# SPDX-License-Identifier: Apache-2.0
"""The operations of a connector's local interface.

This is what an agency's own system, or the command `throughcare`, talks to. It listens on the loopback interface, takes
a bearer token that is good for what the operation does (CON-14), and shows the agency's plaintext: none of it is served
elsewhere (CON-6).
"""

from protocol.http.attachment_operations import READ_ATTACHMENT, STORE_ATTACHMENT
from protocol.http.cases import GET_CASE, LIST_CASES, SEARCH_CASES
from protocol.http.documents import GET_DOCS, GET_OPENAPI
from protocol.http.drafts import CHANGE_DRAFT, DELETE_DRAFT, GET_DRAFT, LIST_DRAFTS, MAKE_DRAFT, SEND_DRAFT
from protocol.http.events import LIST_EVENTS
from protocol.http.fhir import DRAFT_FROM_FHIR, GET_THREAD_FHIR
from protocol.http.handover_operations import GET_HANDOVER, LIST_HANDOVERS, SEND_HANDOVER
from protocol.http.messages import GET_MESSAGE, LIST_MESSAGES, SEND_MESSAGE
from protocol.http.onward import FORWARD_REFERRAL, SEND_SUB_REFERRAL
from protocol.http.operation import registry
from protocol.http.printing import PRINT_CASE, PRINT_HANDOVER, PRINT_MESSAGE, PRINT_THREAD
from protocol.http.schema_operations import GET_SCHEMA, LIST_SCHEMAS
from protocol.http.standing import GET_METRICS, GET_STATUS, LIST_DESKS, LIST_QUARANTINE, READ_QUARANTINED
from protocol.http.thread_operations import GET_THREAD, LIST_THREADS, MAKE_STEP, SEND_REFERRAL
from protocol.http.tokens import LIST_TOKENS, MAKE_TOKEN, REVOKE_TOKEN
from protocol.http.webhooks import LIST_DELIVERIES, REPLAY_EVENT

CONNECTOR_OPERATIONS = registry(
    [
        SEND_HANDOVER,
        LIST_HANDOVERS,
        GET_HANDOVER,
        PRINT_HANDOVER,
        STORE_ATTACHMENT,
        READ_ATTACHMENT,
        LIST_CASES,
        SEARCH_CASES,
        GET_CASE,
        PRINT_CASE,
        SEND_REFERRAL,
        MAKE_DRAFT,
        LIST_DRAFTS,
        GET_DRAFT,
        CHANGE_DRAFT,
        SEND_DRAFT,
        DELETE_DRAFT,
        DRAFT_FROM_FHIR,
        LIST_THREADS,
        GET_THREAD,
        GET_THREAD_FHIR,
        PRINT_THREAD,
        MAKE_STEP,
        FORWARD_REFERRAL,
        SEND_SUB_REFERRAL,
        SEND_MESSAGE,
        LIST_MESSAGES,
        GET_MESSAGE,
        PRINT_MESSAGE,
        LIST_EVENTS,
        LIST_DELIVERIES,
        REPLAY_EVENT,
        MAKE_TOKEN,
        LIST_TOKENS,
        REVOKE_TOKEN,
        LIST_DESKS,
        LIST_QUARANTINE,
        READ_QUARANTINED,
        GET_STATUS,
        GET_METRICS,
        LIST_SCHEMAS,
        GET_SCHEMA,
        GET_OPENAPI,
        GET_DOCS,
    ]
)

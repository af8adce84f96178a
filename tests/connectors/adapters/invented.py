# SPDX-License-Identifier: Apache-2.0
"""An invented export in the form that the shipped mapping reads, so that its tests need no real input."""

import json
from pathlib import Path
from typing import Any

PRISONER = "prisoner-search-api-PrisonerDetails"
PERSONAL = "resettlement-passport-and-delius-api-PersonalDetailsByCrn"
HOUSING = "resettlement-passport-and-delius-api-Accommodations"
RISKS = "arn-api-RisksByCrn"
PREDICTORS = "arn-api-RiskPredictorsByCrn"
NOTES = "case-notes-api--case-notes"
LICENCE = "cvl-api-LicenceById"
READINESS = "education-employment-api-ReadinessProfileByNomsId"
REFERRALS = "interventions-service-api-PrisonerReferrals"
COM = "resettlement-passport-and-delius-api-ComByCrn"

Document = dict[str, Any]


def note(subtype: str, text: str, *, sensitive: bool = False) -> Document:
    """Return a case note."""
    return {
        "caseNoteId": "1",
        "offenderIdentifier": "Z0001ZZ",
        "type": "RESET",
        "subType": subtype,
        "occurrenceDateTime": "2026-10-01T09:30:00.123456789",
        "authorName": "Officer, Invented",
        "text": text,
        "sensitive": sensitive,
        "amendments": [],
    }


def referral(contract: str, *, draft: bool = False, sent: str | None = "2026-09-01T10:00:00Z") -> Document:
    """Return a referral."""
    return {
        "serviceCategories": [contract],
        "contractType": contract,
        "referralCreatedAt": "2026-08-30T10:00:00Z",
        "referralSentAt": sent,
        "interventionTitle": f"{contract} in Gora",
        "referringOfficer": "Officer Invented",
        "serviceProviderName": "Most Association",
        "serviceProviderLocation": "Gora",
        "isDraft": draft,
    }


def document() -> Document:
    """Return a fresh export as one object keyed by file stem."""
    return {
        PRISONER: {
            "prisonerNumber": "Z0001ZZ",
            "pncNumber": "99/000001A",
            "firstName": "Drin",
            "middleNames": "",
            "lastName": "Bregovi\u0107",
            "dateOfBirth": "1991-04-05",
            "gender": "Male",
            "religion": "None recorded",
            "cellLocation": "A-1-001",
            "mostSeriousOffence": "Invented offence",
            "prisonName": "Gora Prison",
            "restrictedPatient": False,
            "recall": False,
            "sentenceStartDate": "2020-01-02",
            "sentenceExpiryDate": "2027-01-02",
            "confirmedReleaseDate": "2026-12-01",
            "aliases": [{"firstName": "D.", "lastName": "Breg", "dateOfBirth": "1991-04-05"}],
            "alerts": [
                {"alertType": "R", "alertCode": "RINV", "active": True, "expired": False},
                {"alertType": "X", "alertCode": "XSECRET", "active": True, "expired": False},
            ],
        },
        PERSONAL: {
            "crn": "Q000001",
            "name": {"forename": "Drin", "surname": "Bregovi\u0107"},
            "dateOfBirth": "1991-04-05",
            "contactDetails": {"telephone": None, "mobile": "070000000", "email": "drin@invented.example"},
        },
        HOUSING: {
            "notes": "A room is promised.",
            "mainAddress": {
                "addressNumber": "3",
                "streetName": "Mill Street",
                "town": "Polje",
                "noFixedAbode": "false",
            },
        },
        RISKS: {
            "riskToSelf": {
                "suicide": {"risk": "No", "current": "Don't know", "currentConcernsText": "Invented concern"}
            },
            "otherRisks": {"escapeOrAbscond": "NO"},
            "summary": {
                "natureOfRisk": "Invented nature",
                "riskInCommunity": {"HIGH": ["Public"]},
                "overallRiskLevel": "HIGH",
            },
            "assessedOn": "2026-08-01T12:12:13",
        },
        PREDICTORS: [{"generalPredictorScore": {"ogpTotalWeightedScore": 6060, "ogpRisk": "SCOREBAND"}}],
        NOTES: {
            "content": [
                note("ACCOM", "Resettlement status set to: Support required. The room is small."),
                note("HEALTH", "Resettlement status set to: Done. Invented health note."),
                note("CHDFAMCOM", "Resettlement status set to: In progress. Invented family note."),
                note("BCST", "Case note summary from Finance and ID BCST2 report\n\nNo bank\r\naccount."),
                note(
                    "BCST", "Case note summary from Drugs and alcohol Pre-release report\n\nInvented dependency note."
                ),
                note("ACCOM", "Resettlement status set to: Done. Sensitive secret.", sensitive=True),
            ],
            "last": True,
        },
        LICENCE: {
            "nomsId": "Z0001ZZ",
            "crn": "Q000001",
            "typeCode": "AP",
            "surname": "Bregovi\u0107",
            "forename": "Drin",
            "dateOfBirth": "05/04/1991",
            "licenceStartDate": "01/12/2026",
            "licenceExpiryDate": "02/01/2027",
            "prisonDescription": "Gora Prison",
            "prisonTelephone": "044 000 000",
            "probationAreaDescription": "Reka",
            "probationTeamDescription": "Reka intake",
            "appointmentPerson": "The duty officer",
            "appointmentTime": "02/12/2026 09:15",
            "appointmentAddress": "Reka Probation Office, 1 Bridge Street",
            "appointmentContact": "044 000 001",
            "standardLicenceConditions": [{"id": 1, "code": "c1", "sequence": 0, "text": "Keep in touch."}],
            "additionalLicenceConditions": [
                {
                    "id": 2,
                    "code": "c2",
                    "category": "Residence at a specific place",
                    "text": "Live at [PLACE].",
                    "expandedText": "Live at 3 Mill Street, Polje.",
                },
                {"id": 3, "code": "c3", "category": "Extremism", "text": "Invented contact ban."},
            ],
            "bespokeConditions": [{"id": 4, "text": "Wear the tag until {{ date }}."}],
        },
        READINESS: {
            "offenderId": "Z0001ZZ",
            "profileData": {
                "status": "READY_TO_WORK",
                "supportAccepted": {
                    "workImpacts": {"abilityToWorkImpactedBy": ["INVENTED_HEALTH"], "ableToManageMentalHealth": True},
                    "workInterests": {"workTypesOfInterest": ["BAKERY"]},
                    "actionsRequired": {"actions": [{"todoItem": "ID", "status": "COMPLETED", "id": ["PASSPORT"]}]},
                },
            },
        },
        REFERRALS: [
            referral("Accommodation"),
            referral("Dependency and Recovery"),
            referral("Education", draft=True, sent=None),
            referral("Finance", sent=None),
        ],
        COM: {"unallocated": False, "name": {"forename": "Ema", "surname": "Officer"}},
    }


def write(folder: Path, content: Document) -> Path:
    """Write an export as a folder of files and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, value in content.items():
        (folder / f"{stem}.json").write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return folder

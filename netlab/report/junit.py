"""A verification as JUnit XML, which CI systems show: one test case for each check."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from netlab.probe.result import Report

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2


def junit_xml(report: Report) -> str:
    """One `testsuite`; a check's kind is the class name of its case."""
    suite = ElementTree.Element(
        "testsuite",
        name="netlab verify",
        tests=str(len(report.checks)),
        failures=str(len(report.failed)),
        errors="0",
        skipped="0",
        time=f"{report.seconds:.3f}",
    )
    for check in report.checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"netlab.{check.kind}",
            name=_clean(f"{check.source} > {check.target}: {check.expected}"),
            time="0",
        )
        if not check.ok:
            failure = ElementTree.SubElement(case, "failure", message=_clean(check.observed))
            failure.text = _clean(
                f"expected: {check.expected}\nobserved: {check.observed}\n"
                f"evidence: {check.evidence}"
            )
        elif check.evidence:
            ElementTree.SubElement(case, "system-out").text = _clean(check.evidence)
    ElementTree.indent(suite)
    text: str = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _clean(text: str) -> str:
    """Without the characters that no XML may hold; an answer from the lab may have any."""
    return _FORBIDDEN.sub("?", text)

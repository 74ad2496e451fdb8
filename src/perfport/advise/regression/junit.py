"""Regression checks as JUnit XML, which continuous integration servers display."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from perfport.advise.regression.check import RegressionCheck

__all__ = ["junit_xml"]

# XML 1.0 has no way to write these, not even escaped (https://www.w3.org/TR/xml/#charsets).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(checks: Sequence[RegressionCheck], *, suite: str = "perfport compare") -> str:
    """Return an XML document with one test case a check.

    Args:
        checks: Of any number of versions or properties.
        suite: Name of the suite.
    """
    n_failed = sum(not check.passed for check in checks)
    attributes = {"name": _clean(suite), "tests": str(len(checks)), "failures": str(n_failed), "errors": "0"}
    root = ET.Element("testsuites", attributes)
    cases = ET.SubElement(root, "testsuite", attributes)
    for check in checks:
        case = ET.SubElement(
            cases, "testcase", {"classname": _clean(check.property.name), "name": _clean(check.rule), "time": "0"}
        )
        if check.passed:
            ET.SubElement(case, "system-out").text = _clean(str(check))
        else:
            failure = ET.SubElement(case, "failure", {"type": "regression", "message": _clean(check.reason)})
            failure.text = _clean(str(check))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)

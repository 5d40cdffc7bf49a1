"""What is expected of a finding of the doctor's."""


def says(finding, level, *parts):
    """It has this level and these parts in its text or remedy; if it is to be changed, it has a remedy."""
    assert finding.level == level, finding
    for part in parts:
        assert part in finding.text or part in (finding.remedy or ""), finding
    assert finding.remedy or level in ("ok", "note"), finding

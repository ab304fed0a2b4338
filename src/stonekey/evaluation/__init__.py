"""Evaluation: scores with intervals, confidence, confusion, and published data sets."""

from stonekey.evaluation.confidence import (
    Calibration,
    CoverageCurve,
    ReliabilityBin,
    calibration,
    coverage_curve,
)
from stonekey.evaluation.confusion import (
    KEY_ORDER,
    SIGNATURE_ORDER,
    ConfusionMatrix,
    key_confusion,
    signature_confusion,
)
from stonekey.evaluation.metrics import (
    KEY_CATEGORIES,
    SIGNATURE_CATEGORIES,
    KeyScores,
    SignatureScores,
    key_categories,
    ksea_scores,
    mirex_scores,
    score_keys,
    score_signatures,
    signature_categories,
)
from stonekey.evaluation.statistics import (
    Interval,
    PairedComparison,
    bootstrap_interval,
    compare_systems,
)

__all__ = [
    "KEY_CATEGORIES",
    "KEY_ORDER",
    "SIGNATURE_CATEGORIES",
    "SIGNATURE_ORDER",
    "Calibration",
    "ConfusionMatrix",
    "CoverageCurve",
    "Interval",
    "KeyScores",
    "PairedComparison",
    "ReliabilityBin",
    "SignatureScores",
    "bootstrap_interval",
    "calibration",
    "compare_systems",
    "coverage_curve",
    "key_categories",
    "key_confusion",
    "ksea_scores",
    "mirex_scores",
    "score_keys",
    "score_signatures",
    "signature_categories",
    "signature_confusion",
]

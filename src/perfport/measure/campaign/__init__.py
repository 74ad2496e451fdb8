"""Campaigns: what is to be measured, in which order, and the loop that does it and can be resumed.

`spec` reads the YAML, `plan` makes tasks of it, `run` has them measured and stored; `requeue` says what is too
disturbed to count, `side_by_side` measures configurations in turn. What people call stands here.
"""

from perfport.measure.campaign.plan import plan_campaign
from perfport.measure.campaign.progress import CampaignResult, Progress, ProgressCallback
from perfport.measure.campaign.requeue import Remeasure
from perfport.measure.campaign.run import measure_configurations, run_campaign
from perfport.measure.campaign.spec import Campaign, EnvironmentSpec

__all__ = [
    "Campaign",
    "CampaignResult",
    "EnvironmentSpec",
    "Progress",
    "ProgressCallback",
    "Remeasure",
    "measure_configurations",
    "plan_campaign",
    "run_campaign",
]

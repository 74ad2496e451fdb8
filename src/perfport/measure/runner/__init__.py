"""The runner and its child process: from a rig and a configuration to an outcome, whatever the system does meanwhile.

`runner` and `child_process` are this side, `child` the other, `channel` what lies between; `session` and `timing`
measure one configuration from open to close, `metering` reads the meters around it. The child imports some of these
modules and must start light, so nothing is imported here.
"""

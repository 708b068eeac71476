"""Physics-informed networks: functions of space-time that satisfy a problem's conditions and are trained on its equation."""

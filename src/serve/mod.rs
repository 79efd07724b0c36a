//! The faces: Lambda, the sidecar, the dashboard.

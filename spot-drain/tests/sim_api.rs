//! The simulated API server, request by request, against what a real one (1.36) answered.

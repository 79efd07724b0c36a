//! Pre token generation: the sign-in's assessment becomes claims.

//! A history of sign-ins, judged again: what each threshold would have done.

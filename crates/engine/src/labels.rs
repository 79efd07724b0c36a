//! Labels of closed lists, in one table for each type.

/// Adds `ALL` and `as_label` to an enum without fields: every value with its label, in the order of the table.
macro_rules! labels {
    ($type:ident, $meaning:literal, { $($variant:ident $label:literal)* }) => {
        impl $type {
            /// Every value.
            pub const ALL: [$type; [$($label),*].len()] = [$($type::$variant),*];

            #[doc = $meaning]
            pub fn as_label(self) -> &'static str {
                match self {
                    $($type::$variant => $label,)*
                }
            }
        }
    };
}

pub(crate) use crate::tools::Args;

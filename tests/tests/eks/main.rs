//! `examples/eks`: its template, the user data of its nodes, and the commands of its guide.

mod stack;
mod template;
mod user_data;

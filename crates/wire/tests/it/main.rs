mod golden;
mod mutation;
mod oracle;
mod random;
mod strict;
mod times;

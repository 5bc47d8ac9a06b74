mod golden;
mod mutation;
mod oracle;
mod random;
mod times;

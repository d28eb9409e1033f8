pub mod retailcrm;

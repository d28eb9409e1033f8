pub mod measoft;

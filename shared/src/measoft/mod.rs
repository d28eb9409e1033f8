//! MeaSoft's XML API.

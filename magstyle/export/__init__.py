"""Ways out of Keras: files that run where neither it nor this project is installed."""

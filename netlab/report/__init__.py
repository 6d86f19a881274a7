"""How results are shown: plain text, and XML for other programs. Pure: values in, text out."""
